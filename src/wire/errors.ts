// The codes of failed operations on bytes: what they mean and what the operator can do.
import type { ErrorTable } from "#base/error.ts";

export const wireErrors: ErrorTable = {
  X509_INVALID: {
    meaning: "A certificate, a key or a request for a certificate cannot be read, or holds what may not be there.",
    action: "The message says where it breaks off; look at the file or the peer that it came from.",
  },
};
