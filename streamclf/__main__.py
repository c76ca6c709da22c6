"""``python -m streamclf``."""

from streamclf.cli.main import main

if __name__ == "__main__":
    main()
