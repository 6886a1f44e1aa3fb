"""Speed and memory compared with other projects' models; run by hand, never by the tests."""
