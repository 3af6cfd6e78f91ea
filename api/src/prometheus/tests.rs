//! Questions by themselves.
