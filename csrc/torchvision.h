// Our kernels behind torchvision's operators, while somebody asks for them.
#pragma once

namespace roibench {

// Calls of open() that were not closed are counted; while there are any, ours are in use, in every thread. torchvision
// must be loaded. From any thread.
void open_torchvision();
void close_torchvision();

}  // namespace roibench
