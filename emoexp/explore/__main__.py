from emoexp.cli.explore import main

main()
