"""The gallery: which example belongs to which subject, and pictures that can be read.

An extension of Sphinx, for this documentation alone, beside sphinx-gallery's own.
"""

import builtins
import shutil
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
PANELS = Path(__file__).parent / "auto_examples" / "images" / "panels"
# A thumbnail shows one panel, at most so many inches wide and high: at 60 pixels per
# inch its fonts have 8 pixels or more.
PANEL_SIZE = 3.9

# Examples by subject, in the order in which they are shown; a new one gets a line.
SUBJECTS = {
    "First steps": ["plot_overview", "plot_one_line_swap"],
    "Clusters": [
        "plot_long_clusters",
        "plot_models",
        "plot_choose_components",
        "plot_few_labels",
        "plot_neural_gas",
    ],
    "Densities": [
        "plot_stacking",
        "plot_transformed_density",
        "plot_grid_search",
        "plot_bounded_columns",
        "plot_error_bars",
        "plot_streaming",
    ],
    "Predictions with uncertainty": [
        "plot_branches",
        "plot_regions",
        "plot_geyser",
        "plot_inverse_kinematics",
        "plot_calibration",
        "plot_conditional_stack",
    ],
    "Missing values": [
        "plot_imputation",
        "plot_wrong_averages",
        "plot_missing_values",
    ],
    "Outliers": ["plot_outliers", "plot_out_of_distribution"],
    "Comparisons": [
        "plot_compare_densities",
        "plot_four_distances",
        "plot_move_samples",
        "plot_product_of_experts",
    ],
    "Embeddings and images": [
        "plot_digit_views",
        "plot_image_views",
        "plot_sample_sheets",
        "plot_latent_sampling",
        "plot_decoder",
        "plot_trap",
    ],
    "Kernel costs": [
        "plot_quickstart",
        "plot_costs",
        "plot_exact_errors",
        "plot_generator",
    ],
}
ORDER = [name for names in SUBJECTS.values() for name in names]
# Which axes of the first figure are the thumbnail; those not listed show the first.
THUMBNAILS = {
    "plot_calibration": 1,
    "plot_conditional_stack": 1,
    "plot_generator": 4,
    "plot_image_views": -1,
    "plot_latent_sampling": 2,
    "plot_long_clusters": 1,
    "plot_one_line_swap": 2,
    "plot_out_of_distribution": 8,
    "plot_sample_sheets": 2,
    "plot_transformed_density": 1,
    "plot_trap": 1,
}


def name_file(gallery_conf, fname):
    """Let ``__file__`` be the path of the example that runs next.

    The examples write their pictures beside themselves, and sphinx-gallery leaves
    the name undefined on purpose, because notebooks do not have it.
    """
    builtins.__file__ = str(EXAMPLES / fname) if fname else ""


def by_subject(path):
    """Return the sort key of an example: its place among the subjects."""
    return ORDER.index(Path(path).stem)


def scrape(block, block_vars, gallery_conf):
    """Save the figures of a block, and of the first one a panel for the thumbnail."""
    import matplotlib.pyplot as plt
    from sphinx_gallery.scrapers import matplotlib_scraper

    name = Path(block_vars["src_file"]).stem
    if plt.get_fignums() and len(block_vars["image_path_iterator"]) == 0:
        figure = plt.figure(plt.get_fignums()[0])
        PANELS.mkdir(parents=True, exist_ok=True)
        _save_panel(figure, THUMBNAILS.get(name, 0), PANELS / f"{name}.png")
    return matplotlib_scraper(block, block_vars, gallery_conf)


def _save_panel(figure, index, path):
    """Save one panel of a figure alone, drawn smaller if the panel is large."""
    axis, size = figure.axes[index], figure.get_size_inches()
    others = [other for other in figure.axes if other is not axis]
    others += [*figure.texts, *figure.legends, axis.title]
    hidden = [artist for artist in others if artist.get_visible()]
    for artist in hidden:
        artist.set_visible(False)
    for _ in range(3):  # margins do not shrink with a figure
        figure.draw_without_rendering()
        to_inches = figure.dpi_scale_trans.inverted()
        box = axis.get_tightbbox().transformed(to_inches)
        excess = max(box.width, box.height) / PANEL_SIZE
        if excess <= 1:
            break
        figure.set_size_inches(figure.get_size_inches() / excess)
    figure.savefig(path, dpi=130, bbox_inches=box.padded(0.05))
    figure.set_size_inches(size)
    for artist in hidden:
        artist.set_visible(True)


def show_panels(app):
    """Put the panels in the place of the thumbnails, which show whole figures."""
    for panel in PANELS.glob("*.png"):
        shutil.copy(panel, PANELS.parent / "thumb" / f"sphx_glr_{panel.stem}_thumb.png")


def group(app, docname, source):
    """Write the front page of the gallery by subjects, with sphinx-gallery's words."""
    if docname != "auto_examples/index":
        return
    parts = [source[0].split(".. raw:: html")[0]]
    for subject, names in SUBJECTS.items():
        paths = [f"   ../examples/{name}.py" for name in names]
        pages = [f"   {name}" for name in names]
        toctree = [".. toctree::", "   :hidden:", f"   :caption: {subject}", "", *pages]
        heading = [subject, "=" * len(subject), "", ".. minigallery::", *paths, ""]
        parts += ["\n".join([*heading, *toctree, ""])]
    scripts = ["Clusters of machines", "=" * 20, "", ".. toctree::", ""]
    source[0] = "\n".join([*parts, *scripts, "   distributed/index", ""])


def setup(app):
    """Register what runs after sphinx-gallery, whose priority is 500."""
    app.connect("builder-inited", show_panels, priority=900)
    app.connect("source-read", group)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
