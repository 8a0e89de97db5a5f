"""Development time: teaches Chalice to deploy and package what its decorators cannot say."""
