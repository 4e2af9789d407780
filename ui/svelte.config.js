/** Components are compiled to DOM calls instead of innerHTML, so the page runs under `trusted-types 'none'`. */
export default {
  compilerOptions: { fragments: 'tree', runes: true },
};
