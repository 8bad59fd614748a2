// Names of a gateway's route configurations, exactly as Istio spells them. Apart from the other generated names because
// the snapshot merges servers by them.

/** `http.8080`, or `http.8080.10.0.0.1` for a server with its own bind address. */
export function gatewayHttpRouteName(port: number, bind: string): string {
  return bind === "" ? `http.${port}` : `http.${port}.${bind}`;
}

/** `https.443.https-bookinfo.bookinfo-gateway.default[.<bind>]`; every TLS server has its own. */
export function gatewayHttpsRouteName(server: {
  readonly port: number;
  readonly portName: string;
  readonly gateway: string;
  readonly namespace: string;
  readonly bind: string;
}): string {
  const name = `https.${server.port}.${server.portName}.${server.gateway}.${server.namespace}`;
  return server.bind === "" ? name : `${name}.${server.bind}`;
}

/** Takes such a name apart; the port name and the gateway (`namespace/name`) are empty for plain HTTP. */
export function parseGatewayRouteName(name: string): {
  readonly port: number;
  readonly portName: string;
  readonly gateway: string;
} {
  const [kind = "", port = "", portName = "", gateway = "", namespace = ""] = name.split(".");
  const isTls = kind === "https";
  return { port: Number(port), portName: isTls ? portName : "", gateway: isTls ? `${namespace}/${gateway}` : "" };
}
