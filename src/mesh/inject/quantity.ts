// Kubernetes quantities, as far as injection looks at them.

const quantityPattern = /^[+-]?(\d+(\.\d*)?|\.\d+)(m|[kMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/;

export function isQuantity(value: string): boolean {
  return value.length <= 32 && quantityPattern.test(value);
}
