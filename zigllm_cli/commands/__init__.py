"""One module per subcommand: options on top, a call into the library, one display."""
