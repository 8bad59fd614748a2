// The exit code with which a container ends that could not be set up, as Docker's run has it.

export const runtimeExit = 125;
