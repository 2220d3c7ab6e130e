"""The sixteen levels of the 4-bit types whose codes are no plain numbers."""

NON_LINEAR = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""IQ4_NL and IQ4_XS: denser around zero, as weights are."""

E2M1 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""MXFP4 and NVFP4: twice the values of a float of sign, two bits exponent and one mantissa."""
