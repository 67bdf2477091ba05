"""A few vertices and their distances in the layout of DensePose's files for evaluation."""

import pickle

import h5py
import numpy as np
import scipy.io

FORMS = ("python2.pkl", "protocol2.pkl", "protocol4.pkl", "protocol5.pkl", "plain.mat", "packed.mat")


class Surface:
    """Vertices on 24 charts, and all distances between them, which are straight here."""

    def __init__(self, each=3, seed=0):
        rng = np.random.default_rng(seed)
        self.part = rng.permutation(np.repeat(np.arange(1, 25), each))
        self.uv = rng.uniform(0, 1, (len(self.part), 2))
        self.number = rng.permutation(len(self.part)) + 1
        self.points = rng.uniform(0, 1, (len(self.part), 3))  # by number in the table
        self.table = np.linalg.norm(self.points[:, None] - self.points, axis=-1).astype(np.float32)

    def metres(self, part1, uv1, part2, uv2):
        """A distance, the slow way."""
        rows = []
        for part, uv in ((part1, uv1), (part2, uv2)):
            mine = [vertex for vertex in range(len(self.part)) if self.part[vertex] == part]
            rows.append(min(mine, key=lambda vertex: float(((self.uv[vertex] - uv) ** 2).sum()), default=None))
        if None in rows:
            return np.inf
        first, second = (self.number[row] - 1 for row in rows)
        return self.table[first, second]


def write_distances(folder, surface=None, form="python2.pkl", table=None):
    """Write the three files; `table` stands in for the numbers of the third."""
    surface = surface or Surface()
    folder.mkdir(parents=True, exist_ok=True)
    count = len(surface.part)
    told = {"Part_ID_subdiv": surface.part, "U_subdiv": surface.uv[:, 0], "V_subdiv": surface.uv[:, 1]}
    scipy.io.savemat(folder / "SMPL_subdiv.mat", {name: column[:, None] for name, column in told.items()})
    scipy.io.savemat(folder / "SMPL_SUBDIV_TRANSFORM.mat", {"index": surface.number[:, None]})
    if table is None:
        table = np.array([surface.table[row, column] for row in range(count) for column in range(row)], np.float32)
    write_table(folder / f"Pdist_matrix{form[form.index('.') :]}", table[:, None], form)
    return surface


def write_table(path, table, form):
    if form == "plain.mat":
        with h5py.File(path, "w", userblock_size=512) as file:
            file["Pdist_matrix"] = table
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    elif form == "packed.mat":
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("Pdist_matrix", data=table.T, compression="gzip")
    elif form == "python2.pkl":
        path.write_bytes(pickle_of_python2(table))
    else:
        path.write_bytes(pickle.dumps({"Pdist_matrix": table}, int(form[len("protocol")])))


def pickle_of_python2(table):
    """A dict of one array of float32 as Python 2 pickles it, protocol 2, whose text is bytes."""
    shape = b"J" + len(table).to_bytes(4, "little") + b"K\x01\x86"
    kind = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" + shape + kind + b"\x89"
    )
    return b"\x80\x02}U\x0cPdist_matrix" + array + b"T" + table.nbytes.to_bytes(4, "little") + table.tobytes() + b"tbs."
