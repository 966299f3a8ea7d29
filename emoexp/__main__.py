import sys

from emoexp.usage import asked, usage


def main() -> None:
    if asked(sys.argv[1:]):
        sys.stdout.write(usage())
        return
    from emoexp.cli import main as run

    run()


if __name__ == "__main__":
    main()
