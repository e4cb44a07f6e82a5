#pragma once

/// Whether the calling thread works alone: it starts no others for what it does.
int ck_is_alone(void);

/// Sets it for the calling thread.
void ck_set_alone(int alone);
