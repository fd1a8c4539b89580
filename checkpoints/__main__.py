"""`python -m checkpoints`."""

from crashproof import checkpoints

if __name__ == "__main__":
    checkpoints()
