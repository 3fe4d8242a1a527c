"""Gives a table of raw columns to the ONNX model beside it. MLflow loads it as `python_function`.

The model takes a vector a column: numbers as double, NaN where missing; categories and dates as text, empty where missing. A table is
brought into that form here, whatever pandas made of it. An invalid row (a number out of range, a category that nobody
knows) is answered with NaN.
"""

import json
import os

import numpy
import onnxruntime
import pandas


def _numbers(values, column):
    missing = set(column["missing"])
    if values.dtype == object or pandas.api.types.is_string_dtype(values.dtype):
        values = values.map(lambda cell: None if isinstance(cell, str) and cell.strip() in missing else cell)
    try:
        return pandas.to_numeric(values).to_numpy(dtype="float64", na_value=numpy.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f'column "{column["name"]}": {error}') from error


def _text(cell):
    if pandas.isna(cell):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        # a whole number that stands beside a missing one
        return str(int(cell))
    return str(cell)


class RawColumnsModel:
    """The model, ready to be asked."""

    def __init__(self, folder):
        with open(os.path.join(folder, "columns.json"), encoding="utf-8") as file:
            self.columns = json.load(file)
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def predict(self, data, params=None):
        """A data frame with one column, `prediction`, and the rows of `data`."""
        data = pandas.DataFrame(data)
        given = {}
        for column in self.columns:
            values = data[column["name"]]
            if column["type"] in ("float", "integer"):
                given[column["name"]] = _numbers(values, column)
            else:
                given[column["name"]] = numpy.array([_text(cell) for cell in values], dtype=object)
        (prediction,) = self.session.run(["prediction"], given)
        return pandas.DataFrame({"prediction": prediction}, index=data.index)


def _load_pyfunc(path):
    return RawColumnsModel(path)
