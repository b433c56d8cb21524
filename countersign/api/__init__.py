"""The HTTP interface: a route parses, authorises, makes one call and answers."""
