//! The oracle bites: doctored files are found out.
