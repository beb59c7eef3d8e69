// SPDX-License-Identifier: Apache-2.0
#include "muster_cli.h"
