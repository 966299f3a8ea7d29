from emoexp.compare import main

main()
