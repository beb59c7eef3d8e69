// SPDX-License-Identifier: Apache-2.0
#include "consumer.h"

int main(void) { return consume(); }
