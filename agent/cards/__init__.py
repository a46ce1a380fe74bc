"""The site's cards over time: which are healthy, how often they fail, how ranks find them."""
