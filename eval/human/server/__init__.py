"""The study's web server: pages for raters and the organizer, a database of votes, exports."""
