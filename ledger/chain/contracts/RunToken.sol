// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Capped} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Capped.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title The token a run pays in.
/// @notice An ordinary ERC-20 with permit and a hard cap. The owner (the run's sponsor) may mint up to the cap and
/// never beyond it; renouncing ownership freezes the supply for good.
contract RunToken is ERC20Capped, ERC20Permit, Ownable {
    /// @param name_ Token name; also the EIP-712 domain name of permits.
    /// @param symbol_ Token symbol.
    /// @param cap_ Most tokens that can ever exist, in base units (18 decimals).
    /// @param owner_ Receives the initial supply and may mint the rest.
    /// @param initialSupply Base units minted to the owner at once; at most the cap.
    constructor(string memory name_, string memory symbol_, uint256 cap_, address owner_, uint256 initialSupply)
        ERC20(name_, symbol_)
        ERC20Capped(cap_)
        ERC20Permit(name_)
        Ownable(owner_)
    {
        _mint(owner_, initialSupply);
    }

    /// @notice Mints within the cap.
    function mint(address to, uint256 amount) external onlyOwner {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Capped) {
        super._update(from, to, value);
    }
}
