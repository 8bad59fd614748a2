// The Gateway API's Gateway for the rest of the mesh, under the name that Istio gives it beside its own Gateway.
import type { Kind } from "../../objects/kind.ts";
import { decodeKubernetesGateway } from "./decode.ts";
import type { KubernetesGatewaySpec } from "./spec.ts";
import { validateKubernetesGateway } from "./validate.ts";

export const kubernetesGateway: Kind<KubernetesGatewaySpec> = {
  kind: "Gateway.gateway.networking.k8s.io",
  decode: decodeKubernetesGateway,
  validate: validateKubernetesGateway,
};
