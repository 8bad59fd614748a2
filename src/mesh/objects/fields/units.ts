// Names for numbers in decoded specs. A protobuf Duration string ("1.5s") is decoded to milliseconds.

/** A Duration, in milliseconds; fractions are kept. */
export type Milliseconds = number;

/** 0 to 100. */
export type Percent = number;
