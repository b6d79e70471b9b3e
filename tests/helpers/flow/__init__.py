"""What tests of optical flow and of its kernels share."""
