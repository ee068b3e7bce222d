"""Fits a power law to accuracies of `agnews compare --fraction`, prints it, and draws docs/images/learning_curve.svg.

scripts/draw_learning_curve.py docs/images/learning_curve.svg 114000 7642:88.83,88.93,88.93 19104:90.38,90.63,90.21 …
"""

import sys

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure


def main(path: str, expected_rows: str, *points: str) -> None:
    """Fits error = a · rows^b to the means by least squares of the logarithms.

    Args:
        path: file of the picture.
        expected_rows: number of training rows to predict the accuracy for.
        points: number of training rows and, after a colon, the accuracy of each seed in percent.
    """
    accuracies = {int(rows): list(map(float, values.split(","))) for rows, values in (p.split(":") for p in points)}
    rows, wanted = np.array(list(accuracies)), int(expected_rows)
    errors = 100 - np.array([np.mean(values) for values in accuracies.values()])
    exponent, constant = np.polyfit(np.log(rows), np.log(errors), 1)

    def law(rows):
        return np.exp(constant) * np.asarray(rows) ** exponent

    for number, accuracy in zip([*rows, wanted], 100 - law([*rows, wanted]), strict=True):
        print(f"{number:>9,} rows: {accuracy:.2f} %")  # noqa: T201
    print(f"error falls with rows ^ {exponent:.3f}")  # noqa: T201

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    line = np.geomspace(rows[0], wanted, 50)
    axes.plot(line, law(line), color="#9aa0a6", linewidth=1, label=f"power law, rows^{exponent:.3f}")
    for number, values in accuracies.items():
        axes.plot([number] * len(values), 100 - np.array(values), ".", color="#1a73e8", alpha=0.5)
    axes.plot(rows, errors, "o", color="#1a73e8", label="mean of the seeds")
    axes.plot(wanted, law(wanted), "D", markerfacecolor="white", color="#d93025", label=f"expected at {wanted:,} rows")
    axes.set(xscale="log", yscale="log", xlabel="training rows", ylabel="test error, %", title="What more rows bring")
    axes.set_xticks([*rows, wanted], [f"{number:,}" for number in [*rows, wanted]], rotation=25)
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(1))
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.legend(frameon=False)
    matplotlib.rcParams["svg.hashsalt"] = "agnews"
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
