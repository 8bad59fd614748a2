// Percentages: a value with fractions is counted in millionths of a whole, a whole number in hundredths.
import { create } from "@bufbuild/protobuf";
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType,
  FractionalPercentSchema,
} from "#wire/gen/envoy/type/v3/percent_pb.ts";

export function fractionalPercent(value: number): FractionalPercent {
  return create(FractionalPercentSchema, {
    numerator: Math.round(value * 10_000),
    denominator: FractionalPercent_DenominatorType.MILLION,
  });
}

export function wholePercent(value: number): FractionalPercent {
  return create(FractionalPercentSchema, {
    numerator: value,
    denominator: FractionalPercent_DenominatorType.HUNDRED,
  });
}
