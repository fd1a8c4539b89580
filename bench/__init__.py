"""What the project costs, measured on the machine at hand. Not part of the wheel: `python -m bench.store`."""
