"""The node `console`: fills the state of the console's page from topics, and does what the page asks for."""
