"""The explorer: reads a text, steers a reply and opens saved runs; `page` shows it in a browser."""
