"""What trials print: resolved to whole lines, read from their tails, followed while they train."""
