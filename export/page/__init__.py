"""One HTML file that runs a network in the browser, without anything from outside."""
