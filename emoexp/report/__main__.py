from emoexp.report import main

main()
