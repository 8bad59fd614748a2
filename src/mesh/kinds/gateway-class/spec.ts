// GatewayClass as decoded.

export interface GatewayClassSpec {
  /** Who serves Gateways of this class; see `gateway-api/controllers.ts`. */
  readonly controllerName: string;
  readonly description: string;
  readonly parametersRef?: ParametersReference;
}

export interface ParametersReference {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
}
