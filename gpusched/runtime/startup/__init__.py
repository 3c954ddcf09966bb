"""What a run is begun with, or carried on with."""
