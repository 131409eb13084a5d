"""The command line: parse, call one function of the platform, print its result as text or JSON."""
