// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import MusterToolKit

runCommand(MusterCommand.self)
