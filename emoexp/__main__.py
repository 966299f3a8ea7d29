import gc
import sys

from emoexp.cli.usage import asked, page
from emoexp.errors import EmoexpError


def main() -> None:
    if asked(sys.argv[1:]):
        try:
            sys.stdout.write(page(sys.argv[1:]))
        except EmoexpError as error:
            sys.exit(f"emoexp: {error}")
        return
    if sys.argv[1:2] == ["explore"]:
        from emoexp.cli.explore import main as explore

        explore(sys.argv[2:])
        return
    # until all is imported (cli.main): nothing of it is garbage, and looking for some is a tenth of
    # the start
    gc.disable()
    from emoexp.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
