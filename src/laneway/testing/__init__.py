"""For tests of programs and plug-ins: suites that stores and lanes must pass, a clock to turn, points to crash at."""
