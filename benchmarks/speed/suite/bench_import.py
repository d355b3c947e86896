"""What an import costs."""


class Import:
    """Imports in a fresh interpreter."""

    def timeraw_import(self):
        """Import the package."""
        return "import skgmje"

    def timeraw_import_estimator(self):
        """Import what most people use."""
        return "from skgmje import GaussianMixture"
