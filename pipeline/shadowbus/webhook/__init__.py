"""Posts to addresses outside: signed, with a deadline, and with an answer that says what to do next."""
