"""Speed and memory beside other projects' models; run by hand, never by the tests."""
