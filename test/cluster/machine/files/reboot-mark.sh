#!/bin/sh
# User-Mode Linux executes its argv[0] when the machine inside reboots. This is that argv[0]: the
# exit code tells the supervisor that it was a reboot and no halt.
exit 42
