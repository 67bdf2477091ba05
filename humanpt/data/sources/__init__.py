"""One reader per data set or calibration file, all giving the records of `humanpt.data`."""
