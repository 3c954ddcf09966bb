"""`python -m gpusched.devices`: the inventory as JSON, to see what detection sees."""

import json
import sys

from gpusched.devices import inventory

if __name__ == "__main__":
    json.dump(inventory().to_dict(), sys.stdout, indent=2)
    print()
