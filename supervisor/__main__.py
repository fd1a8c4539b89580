"""`python -m supervisor`."""

from crashproof import supervise

if __name__ == "__main__":
    supervise()
