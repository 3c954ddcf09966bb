"""How the processes around a launcher come to life, and what becomes of those that do not end."""
