"""The framework-free half of the house: nothing in here knows Flask or Celery."""
