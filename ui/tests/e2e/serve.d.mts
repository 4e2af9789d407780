export const POLICY: string;
export function serve(root: string, port?: number): Promise<{ url: string; stop: () => void }>;
