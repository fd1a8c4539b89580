"""`python -m evaluate`."""

from crashproof import evaluate

if __name__ == "__main__":
    evaluate()
