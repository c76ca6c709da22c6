"""``python -m streamclf``."""

from streamclf.cli import main

if __name__ == "__main__":
    main()
